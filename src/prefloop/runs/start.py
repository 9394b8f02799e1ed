"""What a run started from, so that a continued run is the same run."""

from collections.abc import Iterable, Mapping

from torch import Tensor

from prefloop.runs.data import Data
from prefloop.runs.folder import FolderError
from prefloop.runs.session import Session
from prefloop.types import content_hash

_ENDS = 32  # values compared at either end of every tensor: cheap, and any training changes them


def check_start(session: Session) -> None:
    """Commit the fingerprints of what the run starts from, or refuse what is no longer the same."""
    now = {
        "weights": _weights(dict(session.policy.model.named_parameters())),
        "template": session.encoder.template_hash,
        "data": _data(session.data),
    }
    then = session.ledger.finished(0, "start")
    if then is None:
        session.ledger.finish(0, "start", now)
    if session.ledger.finished(0, "settings") is None:
        every = {p.name: p.config.model_dump(mode="json") for p in session.phases}
        session.ledger.finish(0, "settings", every)
    if then is None:
        return
    changed = [name for name in now if now[name] != then[name]]
    if changed:
        raise FolderError(
            f"the {' and the '.join(changed)} at {session.config.model.path} and in the data files "
            f"changed since {session.folder.path} was started; put them back to continue this "
            "run, or start another with --out"
        )


def _weights(tensors: Mapping[str, Tensor]) -> str:
    ends = {
        name: (list(t.shape), _numbers(t.flatten()[:_ENDS]), _numbers(t.flatten()[-_ENDS:]))
        for name, t in tensors.items()
    }
    return content_hash(ends)


def _numbers(values: Tensor) -> list[float]:
    return [float(value) for value in values.detach().double().tolist()]


def _data(data: Data) -> str:
    responses: Iterable[object] = (
        [item.prompt.id, item.p, [r.text for r in item.responses]] for item in data.items
    )
    prompts = [p.id for p in data.prompts]
    return content_hash(prompts, list(responses), [p.id for p in data.eval_prompts])
