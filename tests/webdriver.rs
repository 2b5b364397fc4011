//! What browsers meet: real pages in a headless Chromium, driven through WebDriver. Where there is no Chromium these tests say so
//! and pass; `tests/install` installs it.

mod access;
mod accounts;
mod changes;
mod driver;
mod keyboard;
mod looks;
mod names;
mod pages;
mod recent;
mod renew;
mod segment;
mod settings;
pub mod site;
mod walk;
