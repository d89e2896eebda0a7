"""Words that stand on tables, charts, films and pages and are no columns, each with one or two sentences."""

TERMS: dict[str, str] = {
    "above": "A verdict: the 95 % interval of the value lies above the band of its null.",
    "band": "The range of a null: with 39 random draws 95 % of further draws lie in it. It is not the interval of the "
    "statistic, which says how well the statistic is known.",
    "below": "A verdict: the 95 % interval of the value lies below the band of its null.",
    "boundary": "The points at which two classes have equal scores and no other class has more: the decision boundary.",
    "cling": "The first phase of the dimpled manifold model: the boundary comes near the data manifold while training "
    "points are still on the wrong side.",
    "contradicted": "A condition of the prediction is not met; the sentence beside the verdict names it with its value "
    "and threshold.",
    "control": "The same measurement on something that lacks the supposed cause, such as permuted labels or the widest "
    "principal directions in place of tangent spaces.",
    "d": "The dimension of the data manifold, or of the estimated tangent spaces (--dim).",
    "d/n": "The dimension of the tangent spaces over that of the inputs: the fraction of the squared length of a "
    "random vector that lies along the manifold, on average. 1 - d/n is the fraction off the manifold.",
    "dimple": "The second phase of the dimpled manifold model: the boundary bulges past the training points to the "
    "side of their labels, over a short distance off the manifold.",
    "diverged": "The loss rose in training; the run says nothing about the prediction.",
    "free margin": "The l2 distance to the nearest boundary in any direction and outside the range of the inputs too "
    "(margin_unbounded), of which margins along and off the manifold are multiples (x free margin).",
    "inside": "A verdict: the 95 % interval of the value lies within the band of its null, as it does by chance.",
    "interval": "The range that holds the true value of a statistic with 95 % confidence, for further samples of the "
    "same kind (or further seeds, where replicas are counted).",
    "isotropic": "The value of a ratio by formula if the boundary were flat and its normal a random direction: "
    "about the square root of n/d along the manifold, of n/(n - d) off it.",
    "largest class": "The accuracy of always predicting the most frequent class.",
    "logit margin": "The score of the correct class minus the largest other score, or its sign where only the boundary "
    "matters; 0 on the boundary.",
    "n": "In a table the number of samples, or of seeds, under a statistic; in d/n and in dimensions the number of "
    "coordinates of an input.",
    "not decided": "A verdict: the 95 % interval of the value overlaps an end of the band of its null, so that the "
    "samples do not say whether the value is beyond it; more samples may.",
    "not judged": "There is no verdict, for the reason given, such as fewer than ten samples.",
    "null": "The same quantity for random subspaces of the same dimension, or for permuted values: what chance gives. "
    "dimple explain NAME_null says what it is for one quantity.",
    "off-manifold": "The part of a vector that is orthogonal to the data manifold, or to the estimated tangent space.",
    "on-manifold": "The part of a vector that lies along the data manifold, or in the estimated tangent space.",
    "phase": "An interval of steps in which something was so, such as the boundary being near the data manifold.",
    "replica": "The same scene trained with another seed.",
    "snapshot": "The weights at one step of training, and what was measured on them.",
    "step": "The number of updates of the weights; of epochs for checkpoints that are named by them.",
    "supported": "All conditions of the prediction are met. The run is as predicted; that is no proof of the cause.",
    "tangents unreliable": "The expected error of the estimated tangent spaces is too large at the distance of the "
    "boundary: quantities on and off the manifold then describe these planes and not the data.",
    "undecided": "No condition of the prediction is unmet, but one could not be decided; its reason says why.",
    "unsettled": "A verdict: four times the passes of the search change the value or its null by more than 2 %, and it "
    "says more about the search than about the boundary; raise --max-passes.",
    "verdict": "Where the interval of a value lies relative to the band of its null (above, below, inside, or not "
    "decided), that more search changes it (unsettled), or whether a prediction is supported, contradicted or "
    "undecided.",
}
