//! What the store promises, whatever database is behind it: one suite, stamped out for each.

mod away;
mod schema;
mod trouble;

/// On a file of the node's own.
mod sqlite {
    fn database(home: &std::path::Path) -> String {
        format!("sqlite:{}", home.join("test.db").display())
    }

    include!("contract.rs");
}

/// On a real PostgreSQL server.
mod postgres {
    fn database(home: &std::path::Path) -> String {
        // The fixture's directory is its own, and so is the database named after it.
        let name: String = home
            .file_name()
            .unwrap()
            .to_string_lossy()
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|letter| letter.to_ascii_lowercase())
            .collect();
        let address = home.join("database");
        if !address.exists() {
            let made = crate::postgres::server().create_database(&name).unwrap();
            std::fs::write(&address, made).unwrap();
        }
        std::fs::read_to_string(&address).unwrap()
    }

    include!("contract.rs");
}
