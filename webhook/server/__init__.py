"""The webhook over HTTPS: Flask on an embedded gunicorn."""
