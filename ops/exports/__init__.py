"""Tools in the forms that Genesys takes: import file, API body, Terraform, virtual agent."""
