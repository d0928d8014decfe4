import java.sql.SQLException;

/** What both programs are told on their command line. */
record Arguments(String url, String sku, int cents, boolean refuse) {
    /** Ends the program with 64 when they are wrong. */
    static Arguments parse(String program, String[] argv) {
        var usage = "usage: " + program + " jdbc:postgresql://HOST/DATABASE?user=USER SKU CENTS commit|rollback";
        if (argv.length == 1 && argv[0].equals("--help")) {
            System.out.println(usage);
            System.exit(0);
        }
        if (argv.length != 4 || !argv[2].matches("\\d{1,9}") || !argv[3].matches("commit|rollback")) {
            System.err.println(usage);
            System.exit(64);
        }
        return new Arguments(argv[0], argv[1], Integer.parseInt(argv[2]), argv[3].equals("rollback"));
    }

    /** Nobody could be reached: SQLSTATE class 08. */
    static boolean isUnavailable(Throwable failure) {
        for (; failure != null; failure = failure.getCause()) {
            if (failure instanceof SQLException sql && sql.getSQLState() != null && sql.getSQLState().startsWith("08")) {
                return true;
            }
        }
        return false;
    }
}
