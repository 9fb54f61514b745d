"""What the API and the dashboard share: the open installation, and how requests are met and left."""
