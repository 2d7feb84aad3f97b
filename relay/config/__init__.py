"""The configuration: one typed model (``model``) and what reads it (``load``). Nothing else reads settings."""

from relay.config.demo import demo
from relay.config.errors import ConfigError, ConfigErrors
from relay.config.load import load
from relay.config.model import Config, Listener, RelayDomain

__all__ = ["Config", "ConfigError", "ConfigErrors", "Listener", "RelayDomain", "demo", "load"]
