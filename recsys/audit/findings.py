"""The sixteen findings about the described system: what was found, what shows it here, and what is done about it."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One finding. In `here`, {key} stands for the answer of a measure, {key_model} for the name of its model.

    `check` is the name of a check that looks for the fault, or empty.
    """

    title: str
    described: str
    here: str
    remedy: str
    check: str = ""


FINDINGS = (
    Finding("The metric flatters",
        "A song competes with 20 random songs only. A ranker that puts every played song at rank 5,000 of 450,000 "
        "reaches 80 %. The described system reports 79.47 %.",
        "{equivalent_rank_model} is equivalent to rank {equivalent_rank}. Popularity alone reaches {popularity_alone}.",
        "Ranks the whole catalogue."),
    Finding("Ties count as hits",
        "The played song comes first, and the first maximum wins. A model that scores all songs alike reaches 100 %.",
        "Counting ties as hits adds up to {ties} ({ties_model}).", "Shares a hit among the tied songs."),
    Finding("Unknown ids get another's vector",
        "An unknown id becomes index −1, which Keras 3 reads as the last row. The author's lists contain all ids, so "
        "it did not happen there.",
        "", "Raises an error for an unknown id. An unknown user gets the same score for all songs.",
        "no unknown user gets another user's scores"),
    Finding("Untrained songs are easy negatives",
        "Songs that occur only in validation or test are drawn as negatives, with untrained vectors.",
        "{songs_not_in_train} songs are not in train. As negatives they add {untrained_songs} to the accuracy of "
        "{untrained_songs_model}.",
        "Ranks only songs of train."),
    Finding("A negative may be a song the listener likes",
        "A random negative may be the played song itself, or another song of the same listener.",
        "In {accidental_hits} of the test listens, one of the 20 is such a song.", "Evaluates without negatives."),
    Finding("Validation changes with every epoch",
        "The validation negatives are drawn anew each epoch. The loss is noisy, and early stopping follows the noise.",
        "Cannot happen: the draw depends on the seed alone.", "Draws the validation negatives once."),
    Finding("The saved model is not the evaluated one",
        "The line that loads the best model is commented out. In Keras 3.15 saving fails: the class lacks get_config.",
        "", "Loads the saved model and evaluates that.", "every model was trained on this split"),
    Finding("Dot products favour long vectors",
        "Similar songs are found by dot product. Long vectors win, and popular songs have them.",
        "{vector_length_model}: the rank correlation of length and listens is {vector_length}.",
        "Finds similar songs by cosine."),
    Finding("The step depends on the batch size",
        "A learning rate of 100 works only with the mean over 1,024 rows. It is a step of about 0.1 for each row.",
        "The author recipe keeps this. If the last batch of an epoch is short, each of its rows takes a larger step.",
        "Keeps the step of a row when BATCH_SIZE changes. The recipes fast and best use Adam."),
    Finding("The text was typed by hand",
        "The conclusion says 87.39 %, the run 79.41 %. The list of the top five neighbours leaves out the fourth. The "
        "text says that the best model was loaded, which it was not.",
        "Cannot happen: no result is typed.", "Computes every sentence from the results."),
    Finding("Song ids are forced into int32",
        "Nothing checks that the ids fit.", "Cannot happen: ids are numbered from 0.", "Reads ids of any type."),
    Finding("The split is not explained",
        "It may have been made by time, by user or at random. The same user and song may be in train and test.",
        "{repeats} of the test listens are repeats.",
        "Splits by time where the data allow. Counts repeats and does not score them.", "no event is in two parts"),
    Finding("The 30 seconds are not used",
        "The aim is songs played for more than 30 seconds. The code reads only user and song, so every row is a "
        "positive, unless the files were filtered before.",
        "{skips} of the rows are skips.", "Leaves skips out (POSITIVES)."),
    Finding("Validation above train is misread",
        "It is explained by easier data. But the training figure is a running mean of the epoch, while validation is "
        "measured at its end.",
        "{running_mean_model}, first epoch: train at the end minus the running mean is {running_mean}.",
        "Measures both in the same way, at the end of each epoch."),
    Finding("Compared with other metrics",
        "The accuracy is compared with “60–80 % of traditional collaborative filtering”: other metrics, other data.",
        "The accuracy ranks {model_pairs} pairs of models differently from NDCG@20.",
        "Compares all models on the same listeners, with intervals."),
    Finding("A song is missing from its own neighbours",
        "The song itself is not among the first 57 neighbours that are printed for it: longer vectors win.",
        "", "Uses cosine, and removes the song from its own list.", "no song is its own neighbour"),
)  # fmt: skip
