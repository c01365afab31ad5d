"""Pictures embedded in a photo's file, and clean faces in them."""
