"""The sampler's host side: continuous batching over the three device programs.

Letters: B slots, P prompts of one prefill, W padded prompt tokens, I insertions.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

import jax
import numpy as np
from jax.sharding import Mesh

from spo_jax.errors import UserError
from spo_jax.models.caches import Cache
from spo_jax.models.transformer import Params, Transformer
from spo_jax.sampling.draw import DrawSettings
from spo_jax.sampling.placement import Anywhere, OnMesh
from spo_jax.sampling.requests import SampleRequest, SamplingProgress, check_requests
from spo_jax.sampling.slots import (
    Generated,
    Insertions,
    Slots,
    generate,
    insert,
    prefill,
)
from spo_jax.sharding import num_batch_shards
from spo_jax.types import Completion, SamplerSettings

Finished = tuple[int, int, Completion]  # request index, sample index


class Sampler:
    """Draws completions from a model, many at once; short ones do not wait for long ones.

    Prompts are prefilled once each and copied into the slots of their samples; all slots step
    together; a slot whose sample is finished takes the next one. Shapes are fixed by the
    constructor, and temperature, top-p, top-k and lengths are data, so calls do not compile anew.
    Device memory for the cache is held only while a call runs.
    """

    def __init__(
        self,
        model: Transformer,
        *,
        eos_ids: Sequence[int],
        num_slots: int = 64,
        max_prompt_tokens: int,
        max_completion_tokens: int,
        steps_per_call: int = 32,
        cache_dtype: str | None = None,
        prompt_buckets: Sequence[int] = (),
        prefill_batch: int = 4,
        prefill_chunk: int = 64,
        mesh: Mesh | None = None,
    ) -> None:
        """Makes a sampler; nothing is compiled yet.

        Args:
          model: whose parameters are passed to `sample`.
          eos_ids: tokens that end a completion.
          num_slots: samples that step together.
          max_prompt_tokens, max_completion_tokens: limits; the cache has room for both.
          steps_per_call: tokens per slot between two looks by the host.
          cache_dtype: of keys and values; None means the compute dtype.
          prompt_buckets: shorter limits on the prompt. A call takes the smallest that holds its
            longest prompt, so short prompts read a short cache; each is compiled on first use.
          prefill_batch, prefill_chunk: prompts, and tokens of each, that one prefill step takes.
          mesh: from `make_mesh`, of devices of this host. Slots are split over 'data' and 'fsdp',
            heads over 'tensor', parameters as for learning; 'sequence' spreads parameters only.
            Each prefill takes as many prompts as these splits ask for, at least.

        Raises:
          UserError: a limit is not positive, exceeds the model's context length, or the mesh does
            not divide the slots.
        """
        sizes = {
            "num_slots": num_slots,
            "max_prompt_tokens": max_prompt_tokens,
            "max_completion_tokens": max_completion_tokens,
            "steps_per_call": steps_per_call,
            "prefill_batch": prefill_batch,
            "prefill_chunk": prefill_chunk,
        }
        for name, size in sizes.items():
            if size < 1:
                raise UserError(f"{name}={size} must be at least 1")
        if max_prompt_tokens + max_completion_tokens > model.config.max_position:
            raise UserError(
                f"max_prompt_tokens={max_prompt_tokens} + max_completion_tokens="
                f"{max_completion_tokens} exceed the model's context of "
                f"{model.config.max_position} tokens"
            )
        self.model = model
        self.eos_ids = tuple(int(token) for token in eos_ids)
        self.num_slots = num_slots
        self.max_prompt_tokens = max_prompt_tokens
        self.max_completion_tokens = max_completion_tokens
        self.steps_per_call = steps_per_call
        self.cache_dtype = cache_dtype or model.config.compute_dtype
        self.prompt_buckets = sorted({*prompt_buckets, max_prompt_tokens})
        shards = 1 if mesh is None else num_batch_shards(mesh)
        if num_slots % shards:
            raise UserError(
                f"num_slots={num_slots} must be divisible by the mesh's data * fsdp = {shards}"
            )
        self.prefill_batch = -(-prefill_batch // shards) * shards
        self.prefill_chunk = prefill_chunk
        self.mesh = mesh
        self.placement = Anywhere(model) if mesh is None else OnMesh(model, mesh)

    def sample(
        self,
        params: Params,
        requests: Iterable[SampleRequest],
        *,
        progress: Callable[[SamplingProgress], None] | None = None,
    ) -> Iterator[Finished]:
        """Yields (request index, sample index, completion) as samples finish, in no fixed order.

        The device goes on while the caller looks at what was yielded. Leaving the iterator early
        is fine.

        Args:
          params: of the model, in its parameter dtype.
          requests: all of them are checked before the first is computed.
          progress: called after every look at the device.

        Raises:
          UserError: a prompt or setting does not fit, before any work.
        """
        requests = list(requests)
        check_requests(
            requests,
            vocab_size=self.model.config.vocab_size,
            max_prompt_tokens=self.max_prompt_tokens,
            max_completion_tokens=self.max_completion_tokens,
        )
        return _Call(self, params, requests).run(progress)

    def sample_all(
        self,
        params: Params,
        requests: Iterable[SampleRequest],
        *,
        progress: Callable[[SamplingProgress], None] | None = None,
    ) -> list[list[Completion]]:
        """Returns all completions, by request and by sample. Arguments as of `sample`."""
        requests = list(requests)
        finished = {
            (r, s): completion
            for r, s, completion in self.sample(params, requests, progress=progress)
        }
        return [[finished[r, s] for s in range(len(q.seeds))] for r, q in enumerate(requests)]

    def abstract_arrays(self) -> tuple[Params, Slots]:
        """Parameters and slots of a call with the longest prompts, as shapes; needs a mesh."""
        assert isinstance(self.placement, OnMesh)
        length = self.padded_prompt_tokens(self.max_prompt_tokens) + self.max_completion_tokens
        slots = self.placement.abstract_slots(self.num_slots, length, self.cache_dtype)
        return self.placement.abstract_params(), slots

    def lowered(self) -> dict[str, jax.stages.Lowered]:
        """The programs for the longest prompts, traced from shapes alone; needs a mesh.

        Returns:
          'prefill', of one batch of prompts, and 'decode', `steps_per_call` steps of all slots.
        """
        params, slots = self.abstract_arrays()
        assert self.mesh is not None
        width = self.padded_prompt_tokens(self.max_prompt_tokens)
        tokens_PW = jax.ShapeDtypeStruct((self.prefill_batch, width), np.int32)
        count = jax.ShapeDtypeStruct((), np.int32)
        with self.placement.context():
            return {
                "prefill": prefill.lower(
                    params,
                    tokens_PW,
                    count,
                    model=self.model,
                    chunk=self.prefill_chunk,
                    cache_dtype=self.cache_dtype,
                    cache_type=self.placement.cache_type,
                ),
                "decode": generate.lower(
                    params,
                    slots,
                    count,
                    model=self.model,
                    eos_ids=self.eos_ids,
                    num_steps=self.steps_per_call,
                ),
            }

    def warm_up(self, params: Params) -> None:
        """Compiles the programs of every prompt bucket by drawing one token each."""
        for length in self.prompt_buckets:
            settings = SamplerSettings(max_completion_tokens=1)
            request = SampleRequest(prompt_tokens=[0] * length, seeds=[0], settings=settings)
            self.sample_all(params, [request])

    def padded_prompt_tokens(self, longest: int) -> int:
        """Returns the cache positions kept for prompts when the longest has `longest` tokens."""
        bucket = next(size for size in self.prompt_buckets if size >= longest)
        return -(-bucket // self.prefill_chunk) * self.prefill_chunk


@dataclasses.dataclass(slots=True)
class _Sample:
    """A sample on its way: host copy of what was drawn so far."""

    request_index: int
    sample_index: int
    seed: int
    tokens: list[np.ndarray] = dataclasses.field(default_factory=list)
    logprobs: list[np.ndarray] = dataclasses.field(default_factory=list)

    def completion(self, stopped: bool) -> Completion:
        return Completion(
            tokens=np.concatenate(self.tokens),
            behavior_logprobs=np.concatenate(self.logprobs),
            finish_reason="stop" if stopped else "length",
            seed=self.seed,
        )


class _Call:
    """One call of `Sampler.sample`: its slots, and who waits for them."""

    def __init__(self, sampler: Sampler, params: Params, requests: list[SampleRequest]) -> None:
        self._sampler, self._requests = sampler, requests
        # Cut out of the scanned stack once: doing so at every step doubles its time on a CPU.
        self._params = sampler.placement.decode_params(params)
        # Prompts of like length are prefilled together; the longest first, to end on short ones.
        order = sorted(
            (r for r, request in enumerate(requests) if len(request.seeds)),
            key=lambda r: -len(requests[r].prompt_tokens),
        )
        self._prompts = collections.deque(order)
        self._waiting = collections.deque(
            _Sample(r, s, int(seed)) for r in order for s, seed in enumerate(requests[r].seeds)
        )
        self._running: dict[int, _Sample] = {}  # by slot
        self._prompt_rows: dict[int, int] = {}  # request index -> row of the prefilled cache
        self._prompt_cache: Cache | None = None
        self._progress = SamplingProgress(0, len(self._waiting), 0)

    def run(self, progress: Callable[[SamplingProgress], None] | None) -> Iterator[Finished]:
        if not self._waiting:
            return
        sampler = self._sampler
        longest = len(self._requests[self._prompts[0]].prompt_tokens)
        self._width = sampler.padded_prompt_tokens(longest)
        slots = sampler.placement.empty_slots(
            sampler.num_slots, self._width + sampler.max_completion_tokens, sampler.cache_dtype
        )
        finished: list[Finished] = []
        while self._waiting or self._running:
            slots = self._fill(slots)
            # With samples waiting, a few idle slots are reason enough to come back.
            enough_idle = sampler.num_slots // 16 + 1 if self._waiting else sampler.num_slots
            with sampler.placement.context():
                slots, made = generate(
                    self._params,
                    slots,
                    np.int32(enough_idle),
                    model=sampler.model,
                    eos_ids=sampler.eos_ids,
                    num_steps=sampler.steps_per_call,
                )
            yield from finished  # while the device works
            finished = self._collect(jax.device_get(made))
            if progress is not None:
                progress(self._progress)
        yield from finished

    def _fill(self, slots: Slots) -> Slots:
        """Starts waiting samples in idle slots, as many as there are."""
        idle = [i for i in range(self._sampler.num_slots) if i not in self._running]
        while idle and self._waiting:
            if self._waiting[0].request_index not in self._prompt_rows:
                self._prefill_next()
            starting: dict[int, _Sample] = {}
            while idle and self._waiting and self._waiting[0].request_index in self._prompt_rows:
                starting[idle.pop(0)] = self._waiting.popleft()
            assert self._prompt_cache is not None
            with self._sampler.placement.context():
                slots = insert(slots, self._prompt_cache, self._insertions(starting))
            self._running |= starting
        return slots

    def _prefill_next(self) -> None:
        """Computes the cache of the next few prompts, in place of that of the last few."""
        sampler = self._sampler
        count = min(sampler.prefill_batch, len(self._prompts))
        batch = [self._prompts.popleft() for _ in range(count)]
        tokens_PW = np.zeros((sampler.prefill_batch, self._width), np.int32)
        for row, r in enumerate(batch):
            prompt = self._requests[r].prompt_tokens
            tokens_PW[row, : len(prompt)] = prompt
        # The last token is left to the first generate step.
        longest = max(len(self._requests[r].prompt_tokens) for r in batch) - 1
        self._prompt_rows = {r: row for row, r in enumerate(batch)}
        with sampler.placement.context():
            self._prompt_cache = prefill(
                self._params,
                tokens_PW,
                np.int32(longest),
                model=sampler.model,
                chunk=sampler.prefill_chunk,
                cache_dtype=sampler.cache_dtype,
                cache_type=sampler.placement.cache_type,
            )

    def _insertions(self, starting: dict[int, _Sample]) -> Insertions:
        """Tells `insert` where the samples go, padded to the number of slots."""
        samples = list(starting.values())
        requests = [self._requests[sample.request_index] for sample in samples]

        def padded(values: list, dtype: type) -> np.ndarray:
            array = np.zeros((self._sampler.num_slots, *np.shape(values)[1:]), dtype)
            array[: len(values)] = values
            return array

        return Insertions(
            count=np.int32(len(samples)),
            slot_I=padded(list(starting), np.int32),
            prompt_I=padded([self._prompt_rows[s.request_index] for s in samples], np.int32),
            token_I=padded([q.prompt_tokens[-1] for q in requests], np.int32),
            position_I=padded([len(q.prompt_tokens) - 1 for q in requests], np.int32),
            limit_I=padded([q.settings.max_completion_tokens for q in requests], np.int32),
            seed_I2=padded([divmod(s.seed, 2**32) for s in samples], np.uint32),
            settings=DrawSettings(
                padded([q.settings.temperature for q in requests], np.float32),
                padded([q.settings.top_p for q in requests], np.float32),
                padded([q.settings.top_k for q in requests], np.int32),
            ),
        )

    def _collect(self, made: Generated) -> list[Finished]:
        """Adds what was drawn to the running samples and takes out the finished ones."""
        finished = []
        for slot, sample in list(self._running.items()):
            count = made.count_B[slot]
            sample.tokens.append(made.tokens_BT[slot, :count].copy())
            sample.logprobs.append(made.logprobs_BT[slot, :count].copy())
            if not made.active_B[slot]:
                completion = sample.completion(bool(made.stopped_B[slot]))
                finished.append((sample.request_index, sample.sample_index, completion))
                del self._running[slot]
        self._progress = SamplingProgress(
            self._progress.num_finished + len(finished),
            self._progress.num_samples,
            self._progress.num_tokens + int(made.count_B.sum()),
        )
        return finished
