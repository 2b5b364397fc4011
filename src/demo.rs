//! stub
use crate::model::{Millis, Record};
pub struct Company;
impl Company {
    pub fn new(_people: u32, _events: u64, _seed: u64, _until: Millis) -> crate::error::Result<Self> { Ok(Self) }
    pub fn records(&self) -> impl Iterator<Item = Record> { std::iter::empty() }
}
