//! The command line from outside: the built binary, its words, its exit codes.

mod gateway;
mod words;
