"""What can be asked, by subject. Each file says which part of which API it speaks."""
