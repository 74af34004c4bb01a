"""How the values of trials are chosen: all planned before the first starts, or asked for one by one."""
