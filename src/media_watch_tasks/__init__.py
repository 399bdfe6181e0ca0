"""Watch folders and NAS shares for media files, and deliver each one durably, exactly as found."""

__version__ = "0.1.0"
