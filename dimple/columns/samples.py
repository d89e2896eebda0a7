"""Columns about samples, accuracies, losses and confidences."""

from dimple.columns.meaning import DEFINITION, FRACTION, YES_OR_NO, ColumnMeaning

LARGEST_CLASS = "largest class"
ROBUST = "Croce and Hein 2020, Reliable evaluation of adversarial robustness"
GUO = "Guo et al. 2017, On calibration of modern neural networks"

SAMPLE_COLUMNS: dict[str, ColumnMeaning] = {
    "step": ColumnMeaning(
        "step", "updates, or the number of the checkpoint",
        "Updates of the weights so far, or the number of the checkpoint.",
        "Step 0 is the network before its training.", DEFINITION, is_exact=True,
    ),
    "replica": ColumnMeaning(
        "replica", "number", "The number of the network among those that were trained from different seeds.",
        "The first is 0.", DEFINITION, is_exact=True,
    ),
    "seed": ColumnMeaning(
        "seed", "number", "The seed of the replica.", "Another seed gives other samples and other initial weights.",
        DEFINITION, is_exact=True,
    ),
    "split": ColumnMeaning(
        "split", "train, test, validation or heldout", "The set that the sample is from.",
        "Train: used in the training; test: new samples; validation: those by which a snapshot is chosen; heldout: "
        "unlabeled points of the manifold.", DEFINITION,
    ),
    "index": ColumnMeaning(
        "index", "row of the split", "The row of the sample in its split.", "The first row is 0.", DEFINITION,
        is_exact=True,
    ),
    "samples": ColumnMeaning(
        "samples", "samples", "The number of samples.", "A verdict needs ten.", DEFINITION, is_exact=True
    ),
    "label": ColumnMeaning(
        "label", "class, -1 for none", "The class that the sample has by its label.", "-1: the sample is unlabeled.",
        DEFINITION, is_exact=True,
    ),
    "prediction": ColumnMeaning(
        "prediction", "class", "The class of the largest score.", "Equal to the label where the sample is right.",
        DEFINITION, is_exact=True,
    ),
    "correct": ColumnMeaning(
        "correct", YES_OR_NO, "Whether the predicted class is the label.",
        "A sample without a label counts as correct, one whose scores are nan as wrong.", DEFINITION,
    ),
    "confidence": ColumnMeaning(
        "confidence", "probability", "The softmax of the predicted class.",
        "From 1 / K, for equal scores of K classes, to 1; large says that the scores differ, not that the class is "
        "right.",
        DEFINITION, "confidence_test", "test points",
    ),
    "logit_margin": ColumnMeaning(
        "logit margin", "score", "The score of the label minus the largest other score.",
        "Negative where the prediction is wrong; its size depends on the scale of the scores.", DEFINITION,
    ),
    "loss": ColumnMeaning(
        "training loss", "nats", "The mean loss of the training points at the step.",
        "log K, such as 0.69 for two classes, by guessing among K classes; 0 is perfect. It has no interval: it is "
        "what "
        "was minimized, over all training points.",
        DEFINITION, is_exact=True,
    ),
    "accuracy": ColumnMeaning(
        "accuracy", FRACTION, "The fraction of all samples whose predicted class is the label.",
        "1 is perfect; a network that has learned nothing is near the fraction of the most frequent class.", DEFINITION,
        "majority_accuracy", LARGEST_CLASS,
    ),
    "train_accuracy": ColumnMeaning(
        "training accuracy", FRACTION, "The fraction of training points whose predicted class is the label.",
        "1 is perfect; a network that has learned nothing is near the fraction of the most frequent class.", DEFINITION,
        "train_majority_accuracy", LARGEST_CLASS,
    ),
    "test_accuracy": ColumnMeaning(
        "test accuracy", FRACTION, "The fraction of new points whose predicted class is the label.",
        "1 is perfect; a network that has learned nothing is near the fraction of the most frequent class.", DEFINITION,
        "test_majority_accuracy", LARGEST_CLASS,
    ),
    "validation_accuracy": ColumnMeaning(
        "validation accuracy", FRACTION, "The fraction of held-out training points whose predicted class is the label.",
        "Where it chooses the snapshot, it is higher there than on new points by the choice.", DEFINITION,
        "validation_majority_accuracy", LARGEST_CLASS,
    ),
    "robust_radius_upper": ColumnMeaning(
        "distance of the nearest adversarial example", "input units, in the norm of the measurement",
        "The distance of the nearest adversarial example that any attack found.",
        "An upper bound of the true distance; 0 where the prediction is wrong, infinite where none was found within "
        "the "
        "largest radius.",
        ROBUST,
    ),
    "robust_attack": ColumnMeaning(
        "attack that came nearest", "number of the attack", "The attack that found the nearest adversarial example.",
        "1 a search along the boundary, 2 Auto-PGD on the cross-entropy, 3 Auto-PGD towards each class, 4 FAB towards "
        "each class, 5 the square attack; 0 where the prediction is wrong, -1 where none was found.",
        ROBUST, is_exact=True,
    ),
    "calibration_error": ColumnMeaning(
        "calibration error", FRACTION, "The mean difference of confidence and accuracy over bins of equal width.",
        "0 is perfect, and no finite sample gives it: compare with the error of a calibrated classifier with the same "
        "confidences.",
        GUO, "calibration_error_calibrated", "calibrated",
    ),
    "calibration_error_adaptive": ColumnMeaning(
        "calibration error, bins of equal size", FRACTION,
        "The mean difference of confidence and accuracy over bins with as many samples each.",
        "As the calibration error, and less dependent on the choice of the bins.",
        "Nguyen and O'Connor 2015", "calibration_error_adaptive_calibrated", "calibrated",
    ),
    "spearman_confidence_margin": ColumnMeaning(
        "rank correlation of confidence and margin", "Spearman's coefficient",
        "Spearman's coefficient of confidence and margin over all samples.",
        "1 where confident samples are far from the boundary, 0 by chance; the null permutes one of the two.",
        "Spearman 1904",
        null="The coefficient after one of the two is permuted among the samples.",
    ),
    "spearman_confidence_margin_correct": ColumnMeaning(
        "rank correlation of confidence and margin, correct samples", "Spearman's coefficient",
        "Spearman's coefficient of confidence and margin over the correctly classified samples.",
        "1 where confident samples are far from the boundary, 0 by chance; the null permutes one of the two.",
        "Spearman 1904",
        null="The coefficient after one of the two is permuted among the samples.",
    ),
    "spearman_confidence_margin_wrong": ColumnMeaning(
        "rank correlation of confidence and margin, wrong samples", "Spearman's coefficient",
        "Spearman's coefficient of confidence and margin over the misclassified samples.",
        "1 where confident samples are far from the boundary, 0 by chance; the null permutes one of the two.",
        "Spearman 1904",
        null="The coefficient after one of the two is permuted among the samples.",
    ),
}  # fmt: skip
