//! Addresses, names and links of an environment, decided as a pure function.
