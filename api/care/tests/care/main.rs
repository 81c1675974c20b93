//! Reminders, early warning and the end of the day on real databases, with a real SMTP server and a
//! real HTTP receiver.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod contacts;
mod days;
mod decisions;
mod mail;
mod offers;
mod races;
mod receiver;
mod sending;
mod smtp;
mod world;
