"""Development: embedded servers, the whole stack on one machine, the demo."""
