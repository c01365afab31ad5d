"""What a run is: settings, the Beam graphs, waves, the library on disk, the command line."""
