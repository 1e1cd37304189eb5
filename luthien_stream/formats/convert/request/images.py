"""Images and PDFs as OpenAI's formats give them: a URL, which may hold the data itself."""

from __future__ import annotations

from luthien_stream.formats.convert.request.conversation import Document, Image
from luthien_stream.formats.convert.request.fields import Fields, must_be, unsupported

PDF = "application/pdf"


def image_of(url: str, path: str, detail: str = "") -> Image:
    """An image from its URL."""
    detail = "" if detail == "auto" else detail
    if not url.startswith("data:"):
        return Image(path, url=url, detail=detail)
    media_type, data = split_data_url(url, path)
    return Image(path, data, media_type, detail=detail)


def document_of(file: Fields) -> Document:
    """A PDF from the fields of a file."""
    if file.text("file_id"):
        raise unsupported(file.at("file_id"))
    name, url, data = file.text("filename"), file.text("file_url"), file.text("file_data")
    path = file.path
    file.leave("detail")
    if url:
        return Document(path, url=url, name=name)
    if not data:
        raise must_be(file.at("file_data"), "a data URL")
    media_type, data = split_data_url(data, file.at("file_data"))
    if media_type != PDF:
        raise unsupported(file.at("file_data"), media_type)
    return Document(path, data, name=name)


def split_data_url(url: str, path: str) -> tuple[str, str]:
    """The media type and the base64 text of a data URL. Raises `RequestError` where it is none."""
    head, comma, data = url.removeprefix("data:").partition(",")
    media_type, _, encoding = head.partition(";")
    if not url.startswith("data:") or not comma or not encoding.endswith("base64"):
        raise must_be(path, "a URL, or data in base64 (data:<type>;base64,<data>)")
    return media_type, data


def image_url(image: Image) -> str:
    """The URL of an image."""
    return image.url or f"data:{image.media_type};base64,{image.data}"


def file_fields(document: Document) -> dict[str, str]:
    """The fields of a PDF that has its data with it."""
    return {"filename": document.name or "document.pdf", "file_data": f"data:{PDF};base64,{document.data}"}
