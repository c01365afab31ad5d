"""What happens to a photo: read it, find the faces, cloak them, write and check the file."""

import os

# TensorFlow reads it once, as it is imported. By itself it takes oneDNN's convolutions only on the
# newest processors. They take less time on older ones too, and give a face the same bits
# wherever it stands in a batch, which Eigen's do not: it splits its sums by the rows of a batch.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
