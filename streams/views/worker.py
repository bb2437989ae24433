"""Opens what the folds need."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from infra.health import Health
from infra.kafka.publisher import Publisher
from infra.objects import Objects
from infra.registry.client import RegistryClient
from infra.settings import Settings
from schemas.codec import Codec
from streams.dead_letters import Burial
from streams.metrics import WorkerMetrics
from streams.views.decoding import Decoding
from streams.views.fold_log import LogFolder
from streams.views.folds import FOLDS, Fold
from streams.views.progress import Progress
from topics.catalogue import DEAD_LETTERS


@asynccontextmanager
async def open_folder(settings: Settings, health: Health, folds: Sequence[Fold] = FOLDS) -> AsyncIterator[LogFolder]:
    """The folder of the log; waits for registry and broker, and says so."""
    metrics = WorkerMetrics(health.registry)
    progress = Progress(health, metrics)
    async with AsyncExitStack() as stack:
        registry = RegistryClient(settings)
        stack.push_async_callback(registry.close)
        await registry.load((DEAD_LETTERS,))
        codec = Codec(registry)
        publisher = await stack.enter_async_context(Publisher.open(settings, codec))
        topics = tuple(fold.topic for fold in folds)
        ours = frozenset(topic.name for topic in topics if topic.ours)
        burial = Burial(settings, "views", publisher, Objects.open(settings), metrics, ours)
        yield LogFolder(settings, folds, Decoding(topics, codec, burial), progress)
