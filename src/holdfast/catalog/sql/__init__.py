"""What catalogs that keep their rows in SQL tables share: each decides the same, by statements of its own."""
