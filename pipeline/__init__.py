"""What a user asks for: settings, commands, runs, the Beam pipelines, the library on disk."""
