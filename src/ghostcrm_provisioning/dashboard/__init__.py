"""The pages for operators. They call what the API calls."""
