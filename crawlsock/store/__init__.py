"""The store: everything that is to survive, behind one interface. Import its modules directly."""
