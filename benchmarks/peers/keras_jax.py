"""ResNet-50 of keras.applications, trained by `train_on_batch` on JAX."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import jitted
import keras
from cases import Case
from work import Training, num_elements


def training(case: Case) -> Training:
    if case.dtype == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    model = keras.applications.ResNet50(
        weights=None,
        input_shape=case.net.image,
        classes=case.net.classes,
        classifier_activation=None,
    )
    model.compile(
        optimizer=keras.optimizers.SGD(
            jitted.LEARNING_RATE, jitted.MOMENTUM, weight_decay=jitted.WEIGHT_DECAY
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    images, labels = jitted.batch(case)

    def run(steps):
        for _ in range(steps):
            model.train_on_batch(images, labels)  # returns the loss as a number

    params = num_elements(variable.shape for variable in model.trainable_variables)
    return Training(run, params=params, device_peak=jitted.device_peak)
