"""The private state: who is who, and what later runs need. All of it is biometric."""
