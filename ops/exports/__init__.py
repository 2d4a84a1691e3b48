"""Export tools in Genesys' formats: import file, API body, Terraform, virtual agent."""
