"""What outside systems say: checked, and made ours."""
