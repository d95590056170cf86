"""What people read: lines and tables made from records, and nothing measured here."""
