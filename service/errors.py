"""Everything that can go wrong, as one tree.

    OnepassError
    |-- RequestError                 the caller's fault; names the field
    |   |-- InvalidInput             a value that cannot be used
    |   |-- InputTooLarge            a size above its stated limit
    |   |-- NotFound                 an index, profile or strategy of that name does not exist
    |   |-- Unauthenticated          no API key, or one that is not known
    |   |-- Forbidden                something that the API key does not allow
    |   `-- RateLimited              more than the API key allows: another try later succeeds
    |-- DeadlineExceeded             the time given ran out
    |-- Overloaded                   more is under way than can be done in time: another try later may succeed
    |-- ShuttingDown                 the service ends: another try elsewhere may succeed
    |-- EngineError                  the language model gave no usable logits
    |   |-- EngineUnavailable        not reachable, overloaded, shutting down: another try may succeed
    |   |-- EngineRejected           this prompt cannot be scored (too long, unknown token): another try cannot succeed
    |   `-- EngineProtocolError      it answered, but not with one finite logit for each label
    |-- CacheUnavailable             the store of answers cannot be asked now; never reaches a caller
    |-- NotCached                    ``only-if-cached``, and there is no answer
    |-- EmbedderError                the encoder gave no usable vectors
    |-- RetrievalError               the first stage failed while searching
    |-- IndexFolderError                  an index folder cannot be opened or built
    |   |-- IndexMissing
    |   |-- IndexCorrupt             bytes differ from what the manifest promises
    |   `-- IndexIncompatible        a format, embedder or dimension that this service does not serve
    |-- ProfileError                 a profile file or its weights cannot be used
    `-- ConfigurationError           settings that contradict each other or the machine

Adapters translate vendor errors into this tree at their edge; HTTP statuses are decided in ``api/errors.py`` alone.
"""


class OnepassError(Exception):
    """Root of the tree."""


class RequestError(OnepassError):
    """The caller asked for something that cannot be done.

    ``field`` is the path of the offending field in the request, such as ``documents[3].text``.
    """

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class InvalidInput(RequestError):
    """A value that cannot be used."""


class InputTooLarge(RequestError):
    """A size above its stated limit."""


class NotFound(RequestError):
    """A name that does not exist here."""


class Unauthenticated(RequestError):
    """No API key, or one that is not known."""


class Forbidden(RequestError):
    """Something that the API key does not allow."""


class RateLimited(RequestError):
    """More than the API key allows; in ``retry_after_s`` seconds it allows another request."""

    def __init__(self, message: str, *, field: str = "Authorization", retry_after_s: float = 1.0) -> None:
        super().__init__(message, field=field)
        self.retry_after_s = retry_after_s


class DeadlineExceeded(OnepassError):
    """The time given to a piece of work ran out before it finished."""


class Overloaded(OnepassError):
    """More is asked for than can be done in time; ``retry_after_s`` seconds from now it may be otherwise."""

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ShuttingDown(OnepassError):
    """The service ended before the work did."""


class EngineError(OnepassError):
    """The language model gave no usable logits. Never to be read as a ranking."""


class EngineUnavailable(EngineError):
    """Not reachable, overloaded or shutting down: another try may succeed."""


class EngineRejected(EngineError):
    """This prompt cannot be scored, now or later."""


class EngineProtocolError(EngineError):
    """The engine answered, but not with one finite logit for each label of each prompt."""


class CacheUnavailable(OnepassError):
    """The store of answers is slow, full, broken or being left alone for a while."""


class NotCached(OnepassError):
    """A kept answer was asked for, and there is none."""


class EmbedderError(OnepassError):
    """The encoder gave no usable vectors."""


class RetrievalError(OnepassError):
    """The first stage failed while searching."""


class IndexFolderError(OnepassError):
    """An index folder cannot be opened or built."""


class IndexMissing(IndexFolderError):
    """There is no index at that place."""


class IndexCorrupt(IndexFolderError):
    """The bytes of an index differ from what its manifest promises."""


class IndexIncompatible(IndexFolderError):
    """An index of a format, embedder or dimension that this service does not serve."""


class ProfileError(OnepassError):
    """A profile file, or the weights and tokenizer it names, cannot be used."""


class ConfigurationError(OnepassError):
    """Settings that contradict each other or the machine."""
