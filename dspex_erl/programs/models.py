"""The language model and the adapter of a session: built at their first use, from what the session was configured with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dspex_erl.errors import BadRequest
from dspex_erl.programs.adapters import build_adapter
from dspex_erl.programs.lms.build import Model, build_model

if TYPE_CHECKING:
    from dspex_erl.sessions import Session

__all__ = ["adapter_of", "model_of"]


def model_of(session: Session) -> Model:
    """The session's model. Raises :class:`BadRequest` if it was never given one, and :class:`LMAuth` if its key is not to be had."""
    model = session.model
    if model is None:
        with session.model_lock:
            model = session.model
            if model is None:
                if session.settings.lm is None:
                    raise BadRequest(
                        f"expected session {session.id!r} to have a language model (create_session's lm, or configure_lm), got none"
                    )
                model = session.model = build_model(session.settings.lm)
    return model  # type: ignore[no-any-return]


def adapter_of(session: Session, model: Model) -> Any:
    """The session's adapter, or the one that suits its model best."""
    return build_adapter(session.settings.adapter or model.adapter)
