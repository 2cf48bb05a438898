//! One runnable file for each way of use; each begins with what it shows and how to run it.
