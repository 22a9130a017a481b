//! What a test does inside a machine; one transport each behind one front.
