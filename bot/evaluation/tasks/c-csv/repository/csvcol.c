/* csvcol NAME < table.csv: prints one column of a table, a line for each row. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_FIELDS 64

static char *line_of(FILE *in) {
    static char line[4096];
    if (!fgets(line, sizeof line, in)) return NULL;
    line[strcspn(line, "\n")] = '\0';
    return line;
}

/* Cuts a line into fields, in place; answers how many there are. */
static int fields_of(char *line, char **fields) {
    int count = 0;
    char *at = line;
    while (count < MOST_FIELDS) {
        if (*at == '"') {
            fields[count++] = ++at;
            at = strchr(at, '"');
            if (!at) return -1;
            *at++ = '\0';
            if (*at == '\0') break;
            at++;
        } else {
            fields[count++] = at;
            at = strchr(at, ',');
            if (!at) break;
            *at++ = '\0';
        }
    }
    return count;
}

int main(int argc, char **argv) {
    char *fields[MOST_FIELDS];
    if (argc != 2) {
        fprintf(stderr, "usage: csvcol NAME < table.csv\n");
        return 2;
    }
    char *line = line_of(stdin);
    int count = line ? fields_of(line, fields) : 0;
    int wanted = -1;
    for (int at = 0; at < count; at++)
        if (strcmp(fields[at], argv[1]) == 0) wanted = at;
    if (wanted < 0) {
        fprintf(stderr, "csvcol: there is no column %s\n", argv[1]);
        return 1;
    }
    while ((line = line_of(stdin))) {
        count = fields_of(line, fields);
        printf("%s\n", fields[wanted]);
    }
    return 0;
}
