"""Files: local and in buckets, Parquet tables, downloaded assets."""
