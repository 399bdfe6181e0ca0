"""PresignedUploader: an application's server says where to upload, and hears when it is done."""

from media_watch_tasks.uploaders.presigned.steps import Artwork, Grant, RemoteState, RemoteStatus, UploadTarget
from media_watch_tasks.uploaders.presigned.uploader import PresignedUploader

__all__ = ["Artwork", "Grant", "PresignedUploader", "RemoteState", "RemoteStatus", "UploadTarget"]
