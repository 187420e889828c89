"""The described system's pipeline, row by row, in plain Keras and tf.data: the reference for the recipe `author`."""

import keras
import numpy as np
import tensorflow as tf


class RowwiseRecommender(keras.Model):
    """Takes raw ids, users as text and songs as whole numbers, and looks them up inside the model."""

    def __init__(self, dummy_users, songs, length_of_embedding):
        super().__init__()
        self.user_rows = keras.layers.StringLookup(vocabulary=list(dummy_users), num_oov_indices=0)
        self.song_rows = keras.layers.IntegerLookup(vocabulary=list(songs), num_oov_indices=0)
        self.user_table = keras.layers.Embedding(len(dummy_users), length_of_embedding)
        self.song_table = keras.layers.Embedding(len(songs), length_of_embedding)

    def call(self, inputs):
        user, candidates = inputs
        user = self.user_table(self.user_rows(user))  # (batch, dim)
        songs = self.song_table(self.song_rows(candidates))  # (batch, candidates, dim)
        return tf.reduce_sum(user[:, None, :] * songs, axis=-1)

    def vectors(self):
        return self.user_table.get_weights()[0], self.song_table.get_weights()[0]

    def set_vectors(self, users, songs):
        self((tf.constant([self.user_rows.get_vocabulary()[0]]), tf.constant([[self.song_rows.get_vocabulary()[0]]])))
        self.user_table.set_weights([users])
        self.song_table.set_weights([songs])


class Mapper:
    """Maps a row to the song and its negatives, and to the label that the song is the right one."""

    def __init__(self, possible_songs, num_negative_songs):
        self.possible_songs = tf.constant(possible_songs)
        self.num_negative_songs = num_negative_songs
        self.label = tf.one_hot(0, num_negative_songs + 1)

    def __call__(self, user, song):
        drawn = tf.random.uniform([self.num_negative_songs], 0, len(self.possible_songs), tf.int32)
        return (user, tf.concat([[song], tf.gather(self.possible_songs, drawn)], axis=0)), self.label


def get_dataset(users, songs, possible_songs, num_negative_songs=20, batch_size=1024, parallel=None):
    rows = tf.data.Dataset.from_tensor_slices((np.asarray(users, str), np.asarray(songs)))
    return rows.map(Mapper(possible_songs, num_negative_songs), num_parallel_calls=parallel).batch(batch_size)


def compiled(dummy_users, songs, length_of_embedding=15, learning_rate=100.0):
    model = RowwiseRecommender(dummy_users, songs, length_of_embedding)
    model.compile(
        keras.optimizers.SGD(learning_rate),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["categorical_accuracy"],
    )
    return model
