"""Training on rows of train, each compared with negatives that are drawn for it or for its batch."""

import functools

import numpy as np
import tensorflow as tf

from recsys.data.interactions import Interactions, Stored
from recsys.data.split import Split
from recsys.models.embeddings import Embeddings
from recsys.training import losses
from recsys.training.devices import compiled, graph, local, n_replicas, over_replicas, share
from recsys.training.loop import Loop
from recsys.training.recipes import ACCURACY_NEGATIVES, Recipe
from recsys.training.shuffling import ShuffledRows

LOGITS_IN_CACHE = 2**20  # a batch is worked on in parts of so many logits, which stay in the processor's cache


class SampledLoop(Loop):
    """Epochs over rows in a new order each time. A step moves only the vectors of its batch.

    A step gathers a batch's vectors (`_train_step`), scales them (`_scale`), computes losses and their gradients with
    respect to scaled vectors (`_losses_and_gradients`), then those with respect to the tables' rows (`_row_gradients`).
    With XLA and plain gradient descent the whole step is compiled, otherwise its parts are.
    """

    def __init__(self, model: Embeddings, split: Split, recipe: Recipe, seed: int = 0, xla: bool = False):
        super().__init__(model, split, recipe, seed, xla)
        whole = self.optimizer.row_by_row
        self._steps = graph(self._train_batches, xla=whole)
        parts = self._scale, self._masked_exponentials, self._masked_losses
        self._scaled, self._exponentials, self._losses = (compiled(part, self.xla and not whole) for part in parts)

    def _load(self, rows: Interactions | Stored) -> None:
        self.rows, self.n_rows = ShuffledRows(rows, self.seed), len(rows)
        self.cumulative_counts, self.log_q = tf.zeros(1, tf.int32), tf.zeros(1)
        if self.recipe.n_popular:
            counts = np.zeros(self.model.n_items, np.int64)
            for _, items in rows.pieces():
                counts += np.bincount(items, minlength=len(counts))
            self.cumulative_counts = tf.constant(np.cumsum(counts), tf.int32)
            self.log_q = tf.constant(losses.popularity_log_q(counts, self.recipe.n_popular / self.recipe.n_negatives))
        # compile by a call without rows, so that the time does not count as an epoch's
        n_steps, n_evaluated = map(self._steps_per_call, (self.n_rows, len(self.validation)))
        codes, no_rows = tf.zeros(n_steps * self.recipe.batch_size, tf.int32), (tf.constant([0, 0]), tf.constant(0))
        self._steps(codes, codes, *no_rows, tf.constant([0.0] * n_steps), tf.constant(0.0))
        codes = tf.zeros(n_evaluated * self.recipe.batch_size, tf.int32)
        self._evaluated(codes, codes, *no_rows)

    def _train(self, epoch: int) -> None:
        size, n = self.recipe.batch_size, self.n_rows
        n_steps, key = -(-n // size), losses.key(self.seed, epoch, losses.NEGATIVES)
        few = self._steps_per_call(n)
        while self.step < n_steps:
            users, items = self.rows.take(epoch, self.step * size, few * size)
            rates = [self._learning_rate(epoch, self.step + more, n_steps) for more in range(few)]
            numbers = map(tf.constant, ([self.step, n], key, rates, float((epoch - 1) * n_steps + 1)))
            totals, bad_step = self._steps(users, items, *numbers)
            self._end_call(totals.numpy(), bad_step, min(self.step + few, n_steps), n_steps)

    def _train_batches(self, users, items, place, key, rates, count):
        """Take some steps: `place` holds the first one's number, and the number of rows of the epoch."""
        size, (first, n) = self.recipe.batch_size, tf.unstack(place)

        def not_done(step, totals, bad):
            return (step < rates.shape[0]) & ((first + step) * size < n)

        def take(step, totals, bad):
            rows = step * size + tf.range(size)
            user, positive = tf.gather(users, rows), tf.gather(items, rows)  # (batch,)
            real = (first * size + rows < n) & self.model.known(user, positive[:, None])[:, 0]  # the last may be short
            now = tf.cast(first + step, tf.float32)
            more = self._on_replicas(user, positive, real, key, first + step, rates[step], count + now)
            bad = tf.where((bad < 0) & ~tf.math.is_finite(more[0]), first + step, bad)
            return step + 1, totals + more, bad

        return tf.while_loop(not_done, take, (0, tf.zeros(3, tf.float64), -1))[1:]

    def _train_step(self, user, positive, real, key, step, rate, count):
        negatives = self._draw_negatives(positive, key, step)  # codes, (batch, n), or (n,) shared by the batch
        weights = tf.cast(real, tf.float32) / tf.maximum(tf.reduce_sum(tf.cast(real, tf.float32)), 1.0)  # of a mean
        user, positive, real, weights = (share(each) for each in (user, positive, real, weights))
        negatives = share(negatives) if self.recipe.negatives == "uniform" else negatives
        users, items = (local(table) for table in self.tables)
        user = tf.clip_by_value(user, 0, self.model.n_users - 1)
        songs = tf.clip_by_value(tf.concat([positive, tf.reshape(negatives, [-1])], 0), 0, self.model.n_items - 1)
        vectors = tf.gather(users, user), tf.gather(items, songs)
        scaled = self._scaled(*vectors)
        cold = self._draw_cold(key, step)
        row_losses, highest, upstream = self._losses_and_gradients(*scaled, positive, negatives, weights, cold)
        rows, gradients, inputs = (user, songs), self._row_gradients, (vectors, upstream)
        if n_replicas() > 1:  # the replicas' gradients are joined before equal rows are summed
            joined = [over_replicas(tf.IndexedSlices(*each)) for each in zip(gradients(*inputs), rows, strict=True)]
            rows, inputs = [each.indices for each in joined], [each.values for each in joined]
            gradients = _as_they_are
        self.optimizer.apply_to_rows((users, items), rows, gradients, inputs, rate, count)
        return losses.totals(tf.where(real, row_losses, 0.0), losses.hits(scaled[1], highest, real), real)

    def _draw_negatives(self, positive, key, step):
        n, n_popular, pool = self.recipe.n_negatives, self.recipe.n_popular, min(self.pool, self.model.n_items)
        if self.recipe.negatives == "uniform":
            return losses.uniform_candidates(positive, n, pool, key, step)[:, 1:]
        drawn = losses.uniform((n - n_popular,), pool, key, step)
        popular = [losses.popular(n_popular, self.cumulative_counts, key, step)] if n_popular else []
        return tf.concat([drawn, *popular], 0)

    def _draw_cold(self, key, step):
        """Draw which negatives (n,) the running accuracy takes for songs without a vector, which its pool may have."""
        n = min(ACCURACY_NEGATIVES, self.recipe.n_negatives)
        return losses.uniform((n,), self.pool, key + 2, step) >= self.model.n_items

    def _scale(self, users, songs):
        """Map users and songs (positives, then negatives) to scaled vectors, and the positives to their logits."""
        users, songs = self.model.scaled(users, songs, self.temperature)
        positives, negatives = songs[: users.shape[0]], songs[users.shape[0] :]
        if self.recipe.negatives == "uniform":
            negatives = tf.reshape(negatives, (users.shape[0], self.recipe.n_negatives, -1))
        return users, tf.reduce_sum(users * positives, axis=1), negatives  # (batch, dim), (batch,), (…, n, dim)

    def _row_gradients(self, vectors, upstream):
        """Return the gradients with respect to the tables' rows, given those with respect to what `_scale` returns."""
        with tf.GradientTape() as tape:
            tape.watch(vectors)
            scaled = self._scale(*vectors)
        return tape.gradient(scaled, vectors, upstream)  # (batch, dim), (batch + negatives, dim)

    def _losses_and_gradients(self, users, own, others, positive, negatives, weights, cold):
        """Return losses (batch,), the highest logits of negatives (batch,), and the gradients of the weighted loss.

        The gradients are with respect to `users`, `own` and `others`, which `_scale` returned.
        """
        shared, size = negatives.shape.rank == 1, max(1, LOGITS_IN_CACHE // self.recipe.n_negatives)
        found, gradients = [], []
        for rows in (slice(start, start + size) for start in range(0, users.shape[0], size)):
            vectors, codes = (others, negatives) if shared else (others[rows], negatives[rows])
            inputs = users[rows], own[rows], vectors
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                found.append(self._losses_and_highest(*inputs, positive[rows], codes, cold))
            gradients.append(tape.gradient(found[-1][0], inputs, weights[rows]))
        of_users, of_own, of_others = zip(*gradients, strict=True)
        of_others = tf.add_n(of_others) if shared else tf.concat(of_others, 0)
        row_losses, highest = (tf.concat(each, 0) for each in zip(*found, strict=True))
        return row_losses, highest, (tf.concat(of_users, 0), tf.concat(of_own, 0), of_others)

    def _losses_and_highest(self, users, own, others, positive, negatives, cold):
        if negatives.shape.rank == 1 and self.recipe.loss in losses.LOSSES_OF_LOG_SUM:
            exponentials = functools.partial(self._exponentials, positive=positive, negatives=negatives, cold=cold)
            log_sums, _, highest = losses.log_sum_exp(users, others, exponentials, self.model.multiply)
            return losses.LOSSES_OF_LOG_SUM[self.recipe.loss](own, log_sums, self.gamma), highest
        return self._losses(own, self.model.products(users, others), positive, negatives, cold)

    def _masked_exponentials(self, logits, positive, negatives, cold):
        highest, logits = losses.highest_negative(logits, cold), losses.subtract_log_q(logits, self._log_q(negatives))
        masked = self._mask(logits, negatives, positive)
        return *losses.exponentials(masked, self.model.highest_logit(self.temperature)), highest

    def _masked_losses(self, own, logits, positive, negatives, cold):
        masked = self._mask(logits, negatives, positive)
        row_losses = losses.LOSSES[self.recipe.loss](own, masked, self._log_q(negatives), self.gamma)
        return row_losses, losses.highest_negative(logits, cold)

    def _mask(self, logits, negatives, positive):
        mask = self.recipe.mask_accidental_hits
        return losses.mask_accidental_hits(logits, negatives, positive) if mask else logits

    def _log_q(self, negatives):
        return tf.gather(self.log_q, negatives) if self.recipe.n_popular else 0.0


def _as_they_are(*gradients: tf.Tensor) -> tuple[tf.Tensor, ...]:
    return gradients
