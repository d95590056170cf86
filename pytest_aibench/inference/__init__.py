"""One model, one data set, one scenario: the accuracy pass, the load, and what they showed."""
