"""`nvsx notify`: tell people about an incident, and see who was told what."""
