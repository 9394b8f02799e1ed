"""The text that features are taken of."""

from prefloop.types import Response


def whole(response: Response) -> str:
    """Prompt and response as one text: a plain prompt is continued, a chat gets a new line."""
    prompt = response.prompt
    return prompt.text + ("\n" if prompt.messages else "") + response.text
