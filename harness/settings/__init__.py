"""What the user chose: declared once, resolved once, frozen afterwards."""
