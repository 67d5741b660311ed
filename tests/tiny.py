"""A run of six steps, for tests of what is done with runs."""

# All that a test relies on, whatever the shipped recipe says. The last value of a key counts.
TINY = [
    "model.likelihood=bernoulli",
    "model.posterior=diagonal",
    "objective=elbo",
    "data.binarize=dynamic",
    "training.epochs=null",
    "training.steps=6",
    "training.batch_size=32",
    "training.tensorboard=false",
    "data.train_limit=64",
    "data.validation=20",
    "model.encoder.hidden=[16]",
    "model.decoder.hidden=[16]",
    "model.latent_dim=3",
    "evaluation=[{method: importance, samples: 30, limit: 12}]",
]
