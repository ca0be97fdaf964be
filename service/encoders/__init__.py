"""Small text encoders inside this process: a dense one and a learned sparse one, in ONNX Runtime on the CPU."""
