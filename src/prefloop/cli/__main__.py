"""`python -m prefloop.cli`."""

from prefloop.cli import app

if __name__ == "__main__":
    app()
