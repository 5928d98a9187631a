"""What every part of the configuration is made of."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the configuration: an unknown key is an error that names it."""

    model_config = ConfigDict(extra="forbid")
