//! The commands, one file each.

pub mod cache;
pub mod chat;
pub mod check;
pub mod diff;
pub mod doctor;
pub mod generate;
pub mod import_spec;
pub mod info;
pub mod lock;
pub mod ls;
pub mod model;
pub mod note;
pub mod plan;
pub mod plot;
pub mod plugin;
pub mod rename;
pub mod replay;
pub mod reproduce;
pub mod rescore;
pub mod resume;
pub mod rm;
pub mod run;
pub mod show;
pub mod sql;
pub mod store;
pub mod tag;
